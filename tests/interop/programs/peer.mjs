// npm oidc-provider set up for the same clients as ours, as strictly as its settings go: what both refuse is compared.
//
//   node peer.mjs SETTINGS.json     {"port", "issuer", "jwks", "clients": [...], "fapi": [client ids], "invitation"}
//
// Whoever comes to a login is logged in and has consented at once.
import { readFile } from "node:fs/promises";

import { Provider } from "oidc-provider";

import { serve } from "../../../bench/peers/serve.mjs";

const settings = JSON.parse(await readFile(process.argv[2], "utf8"));
const provider = new Provider(settings.issuer, {
  jwks: settings.jwks,
  clients: settings.clients,
  scopes: ["openid", "offline_access"],
  claims: { openid: ["sub"] },
  responseTypes: ["code"],
  clientAuthMethods: ["client_secret_basic", "private_key_jwt", "none"],
  enabledJWA: {
    idTokenSigningAlgValues: ["ES256"],
    authorizationSigningAlgValues: ["ES256"],
    clientAuthSigningAlgValues: ["ES256", "PS256"],
    requestObjectSigningAlgValues: ["ES256", "PS256"],
    dPoPSigningAlgValues: ["ES256", "PS256"],
  },
  features: {
    claimsParameter: { enabled: true },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    dPoP: { enabled: true },
    fapi: { enabled: true, profile: (_ctx, client) => (settings.fapi.includes(client?.clientId) ? "2.0" : undefined) },
    introspection: { enabled: true, allowedPolicy: () => true },
    jwtResponseModes: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    registration: { enabled: true, initialAccessToken: settings.invitation },
    requestObjects: { enabled: true },
    revocation: { enabled: true, allowedPolicy: () => true },
    rpInitiatedLogout: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: false,
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
});

serve(provider, settings.port);
