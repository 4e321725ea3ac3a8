// oauth4webapi, step by step: each answer of the server is judged by its own function, with the raw request before it.
import * as oauth from "oauth4webapi";

import { end, privateKey, settings, visit } from "./conversation.mjs";

const { issuer, client: own, algorithm } = settings;
const http = { [oauth.allowInsecureRequests]: true };
const found = await oauth.discoveryRequest(new URL(issuer), { ...http, algorithm });
const as = await oauth.processDiscoveryResponse(new URL(issuer), found);
const client = { client_id: own.client_id, id_token_signed_response_alg: "ES256" };
const authentication = oauth.PrivateKeyJwt(await privateKey(own.jwk));
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(settings.dpop_alg));

const verifier = oauth.generateRandomCodeVerifier();
const nonce = oauth.generateRandomNonce();
const state = oauth.generateRandomState();
const parameters = {
  response_type: "code",
  redirect_uri: own.redirect_uri,
  scope: own.scope,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  nonce,
  state,
  ...settings.parameters,
};

async function twice(send, process) {
  // RFC 9449 §8: a server may ask for a nonce, once.
  try {
    return await process(await send());
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return process(await send());
  }
}

const pushed = await twice(
  () => oauth.pushedAuthorizationRequest(as, client, authentication, parameters, { ...http, DPoP }),
  (response) => oauth.processPushedAuthorizationResponse(as, client, response),
);
const address = new URL(as.authorization_endpoint);
address.searchParams.set("client_id", own.client_id);
address.searchParams.set("request_uri", pushed.request_uri);
let back = await visit(address, { language: settings.language });
const posted = back instanceof Request;
const answered = posted ? new URLSearchParams(await back.text()) : back.searchParams;
const mode = settings.parameters.response_mode ?? "";
const proved = mode.includes("jwt")
  ? await oauth.validateJwtAuthResponse(as, client, answered, state, http)
  : oauth.validateAuthResponse(as, client, answered, state);
const tokens = await twice(
  () => oauth.authorizationCodeGrantRequest(as, client, authentication, proved, own.redirect_uri, verifier, { ...http, DPoP }),
  (response) => oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true }),
);
const claims = oauth.getValidatedIdTokenClaims(tokens);
const userinfo = await twice(
  () => oauth.userInfoRequest(as, client, tokens.access_token, { ...http, DPoP }),
  (response) => oauth.processUserInfoResponse(as, client, claims.sub, response),
);
let introspected = null;
if (as.introspection_endpoint) {
  const response = await oauth.introspectionRequest(as, client, authentication, tokens.access_token, {
    ...http,
    headers: { accept: "application/token-introspection+jwt" },
  });
  introspected = await oauth.processIntrospectionResponse(as, client, response);
}
end({ pushed, posted, answered: [...answered.keys()], claims, userinfo, token_type: tokens.token_type, introspected });
