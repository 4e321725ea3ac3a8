// How npm oidc-provider is served wherever it stands beside us: whoever comes to its login is logged in and has consented.
import { createServer } from "node:http";

let accounts = 0;

async function interact(provider, request, response) {
  const { params, session } = await provider.interactionDetails(request, response);
  const accountId = session?.accountId ?? `person-${(accounts += 1)}`;
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope("openid offline_access");
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

export function serve(provider, port) {
  const answer = provider.callback();
  createServer((request, response) => {
    if (!request.url.startsWith("/interaction/")) {
      answer(request, response);
      return;
    }
    interact(provider, request, response).catch((error) => {
      console.error(error);
      response.writeHead(500).end();
    });
  }).listen(port, "127.0.0.1");
}
