// The peer of `python -m bench.provider`: npm oidc-provider in one process, everything it keeps in memory.
//
//   node oidc_provider.mjs SETTINGS.json     {"port", "issuer", "store", "jwks", "clients": [...]}, by the benchmark
//
// Whoever comes to a login is logged in and has consented at once: the measured logins are those on a session that exists.
import { readFile } from "node:fs/promises";

import { Provider } from "oidc-provider";

import { serve } from "./serve.mjs";

const settings = JSON.parse(await readFile(process.argv[2], "utf8"));

// The package's own store keeps a thousand entries in all, forgets the oldest, sessions included, and walks through every
// token of a grant to add one. With "store": "plain" it is this one, which forgets nothing and walks nowhere: the least
// work that an adapter can do.
const entries = new Map();
const uids = new Map();
const grants = new Map();

class Memory {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    const key = `${this.model}:${id}`;
    entries.set(key, { payload, ends: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
    if (this.model === "Session") uids.set(payload.uid, id);
    if (payload.grantId) {
      const members = grants.get(payload.grantId);
      if (members === undefined) grants.set(payload.grantId, new Set([key]));
      else members.add(key);
    }
  }

  async find(id) {
    const entry = entries.get(`${this.model}:${id}`);
    return entry !== undefined && entry.ends > Date.now() ? entry.payload : undefined;
  }

  async findByUid(uid) {
    return this.find(uids.get(uid));
  }

  async consume(id) {
    entries.get(`${this.model}:${id}`).payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    entries.delete(`${this.model}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const key of grants.get(grantId) ?? []) entries.delete(key);
    grants.delete(grantId);
  }
}

const provider = new Provider(settings.issuer, {
  adapter: settings.store === "plain" ? Memory : undefined,
  jwks: settings.jwks,
  clients: settings.clients,
  scopes: ["openid", "offline_access"],
  claims: { openid: ["sub"] },
  responseTypes: ["code"],
  clientAuthMethods: ["client_secret_basic", "private_key_jwt"],
  enabledJWA: {
    idTokenSigningAlgValues: ["ES256"],
    clientAuthSigningAlgValues: ["ES256"],
  },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  ttl: {
    AccessToken: 3600,
    AuthorizationCode: 60,
    ClientCredentials: 600,
    Grant: 86400,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: 86400,
    Session: 86400,
  },
});

serve(provider, settings.port);
