// openid-client without a person: client_credentials, introspection and revocation, with a secret.
import * as client from "openid-client";

import { end, refused, settings } from "./conversation.mjs";

const { issuer, client: own } = settings;
const discover = (secret) =>
  client.discovery(new URL(issuer), own.client_id, undefined, client.ClientSecretBasic(secret), {
    execute: [client.allowInsecureRequests],
  });
const config = await discover(own.secret);
const tokens = await client.clientCredentialsGrant(config, settings.parameters);
const introspected = await client.tokenIntrospection(config, tokens.access_token);
await client.tokenRevocation(config, tokens.access_token);
end({
  tokens,
  introspected,
  revoked: await client.tokenIntrospection(config, tokens.access_token),
  unknown: await client.tokenIntrospection(config, "no token of anybody"),
  wrong_secret: await refused(client.clientCredentialsGrant(await discover("wrong"), settings.parameters)),
});
