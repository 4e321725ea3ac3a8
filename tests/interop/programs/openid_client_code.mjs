// openid-client: discovery, a login with private_key_jwt, PKCE, state and nonce, userinfo; then what else is served.
import * as client from "openid-client";

import { ask, end, privateKey, refused, settings, visit } from "./conversation.mjs";

const { issuer, client: own } = settings;
const options = { execute: [client.allowInsecureRequests] };
const config = await client.discovery(
  new URL(issuer),
  own.client_id,
  { id_token_signed_response_alg: own.id_token_signed_response_alg ?? "ES256" },
  client.PrivateKeyJwt(await privateKey(own.jwk)),
  options,
);
const server = config.serverMetadata();

async function login(extra = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const address = client.buildAuthorizationUrl(config, {
    redirect_uri: own.redirect_uri,
    scope: own.scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...extra,
  });
  const back = await visit(address);
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
  return { back, checks };
}

const { back, checks } = await login(settings.parameters);
const kept = back instanceof Request ? back.clone() : back;
const tokens = await client.authorizationCodeGrant(config, back, checks);
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const outcome = {
  claims,
  userinfo,
  token_type: tokens.token_type,
  posted: kept instanceof Request,
  served: Object.keys(server),
  has_refresh_token: tokens.refresh_token !== undefined,
};

if (tokens.refresh_token !== undefined) {
  const renewed = await client.refreshTokenGrant(config, tokens.refresh_token);
  outcome.refreshed = { claims: renewed.claims() ?? null, rotated: renewed.refresh_token !== undefined };
  outcome.refreshed_userinfo = await client.fetchUserInfo(config, renewed.access_token, claims.sub);
  if (server.introspection_endpoint) outcome.introspected = await client.tokenIntrospection(config, renewed.access_token);
  if (server.revocation_endpoint) {
    await client.tokenRevocation(config, renewed.refresh_token ?? tokens.refresh_token);
    outcome.refresh_after_revocation = await refused(
      client.refreshTokenGrant(config, renewed.refresh_token ?? tokens.refresh_token),
    );
    if (server.introspection_endpoint) {
      outcome.introspected_after_revocation = await client.tokenIntrospection(config, renewed.access_token);
    }
  }
}
outcome.replay = await refused(client.authorizationCodeGrant(config, kept, checks));
outcome.userinfo_after_replay = await refused(client.fetchUserInfo(config, tokens.access_token, claims.sub));

// Somebody who is logged in at this browser, and somebody who asks that nobody be troubled.
const silent = await login({ ...settings.parameters, prompt: "none" });
outcome.silent = (await client.authorizationCodeGrant(config, silent.back, silent.checks)).claims();

if (server.end_session_endpoint && own.post_logout_redirect_uri) {
  const hint = tokens.id_token;
  const state = client.randomState();
  const out = client.buildEndSessionUrl(config, {
    post_logout_redirect_uri: own.post_logout_redirect_uri,
    id_token_hint: hint,
    state,
  });
  const left = await ask("leave", { url: String(out) });
  outcome.left = { url: left.url, state };
  const after = await login({ ...settings.parameters, prompt: "none" });
  outcome.silent_after_logout = await refused(client.authorizationCodeGrant(config, after.back, after.checks));
}
end(outcome);
