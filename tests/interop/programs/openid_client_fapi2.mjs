// openid-client as FAPI 2.0 wants it: a pushed, signed request, a DPoP key, a signed answer; keys of every answer checked.
import * as client from "openid-client";

import { end, privateKey, refused, settings, visit } from "./conversation.mjs";

const { issuer, client: own, jarm } = settings;
const signing = await privateKey(own.jwk);
const config = await client.discovery(
  new URL(issuer),
  own.client_id,
  { id_token_signed_response_alg: "ES256", authorization_signed_response_alg: "ES256", use_mtls_endpoint_aliases: false },
  client.PrivateKeyJwt(signing),
  { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks, ...(jarm ? [client.useJwtResponseMode] : [])] },
);
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));

async function login(handle) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const parameters = {
    redirect_uri: own.redirect_uri,
    scope: own.scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...settings.parameters,
    ...(jarm ? { response_mode: "jwt" } : {}),
  };
  const signed = await client.buildAuthorizationUrlWithJAR(config, parameters, signing);
  const address = await client.buildAuthorizationUrlWithPAR(config, signed.searchParams, { DPoP: handle });
  const back = await visit(address);
  return { address, back, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true } };
}

const { address, back, checks } = await login(DPoP);
const tokens = await client.authorizationCodeGrant(config, back, checks, undefined, { DPoP });
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub, { DPoP });
const outcome = {
  claims,
  userinfo,
  token_type: tokens.token_type,
  asked: Object.fromEntries(address.searchParams),
  answered: [...back.searchParams.keys()],
  userinfo_with_another_key: await refused(client.fetchUserInfo(config, tokens.access_token, claims.sub, { DPoP: other })),
  userinfo_without_proof: await refused(client.fetchUserInfo(config, tokens.access_token, claims.sub)),
  introspected: await client.tokenIntrospection(config, tokens.access_token),
};
if (tokens.refresh_token !== undefined) {
  outcome.refresh_with_another_key = await refused(
    client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: other }),
  );
  const renewed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  outcome.refreshed = await client.fetchUserInfo(config, renewed.access_token, claims.sub, { DPoP });
  const again = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  outcome.refreshed_with_the_first_again = await client.fetchUserInfo(config, again.access_token, claims.sub, { DPoP });
}
const second = await login(DPoP);
outcome.code_with_another_key = await refused(
  client.authorizationCodeGrant(config, second.back, second.checks, undefined, { DPoP: other }),
);
end(outcome);
