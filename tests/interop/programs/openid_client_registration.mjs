// openid-client registers itself by an invitation, then logs somebody in as the client that it has become.
import * as client from "openid-client";

import { end, refused, settings, visit } from "./conversation.mjs";

const { issuer, client: own, invitation } = settings;
const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
const wish = {
  client_name: "registered by openid-client",
  redirect_uris: [own.redirect_uri],
  token_endpoint_auth_method: "private_key_jwt",
  id_token_signed_response_alg: "ES256",
  jwks: { keys: [{ kty, crv, x, y, kid: "own", use: "sig", alg: "ES256" }] },
};
const register = (initialAccessToken, wished) =>
  client.dynamicClientRegistration(new URL(issuer), wished, client.PrivateKeyJwt({ key: pair.privateKey, kid: "own" }), {
    initialAccessToken,
    execute: [client.allowInsecureRequests],
  });
const not_invited = await refused(register("no invitation of ours", wish));
const badly = await refused(register(invitation, { ...wish, redirect_uris: [`${own.redirect_uri}#fragment`] }));
const config = await register(invitation, wish);
const registered = config.clientMetadata();
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const back = await visit(
  client.buildAuthorizationUrl(config, {
    redirect_uri: own.redirect_uri,
    scope: "openid",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
  }),
);
const tokens = await client.authorizationCodeGrant(config, back, {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
});
end({ not_invited, badly, registered, claims: tokens.claims() });
