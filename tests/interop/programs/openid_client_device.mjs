// openid-client on a television: a device code without a secret, polled until the resident has approved it elsewhere.
import * as client from "openid-client";

import { ask, end, refused, settings } from "./conversation.mjs";

const { issuer, client: own } = settings;
const config = await client.discovery(new URL(issuer), own.client_id, undefined, client.None(), {
  execute: [client.allowInsecureRequests],
});
const once = (code) =>
  refused(
    client.genericGrantRequest(config, "urn:ietf:params:oauth:grant-type:device_code", { device_code: code.device_code }),
  );
const code = await client.initiateDeviceAuthorization(config, { scope: "openid" });
const pending = await once(code);
await ask("approve", { code });
const tokens = await client.pollDeviceAuthorizationGrant(config, code);
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const other = await client.initiateDeviceAuthorization(config, { scope: "openid" });
await ask("deny", { code: other });
end({ code, pending, claims, userinfo, once_more: await once(code), denied: await once(other) });
