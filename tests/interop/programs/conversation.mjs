// What every story needs: its settings, somebody to ask by a line of JSON, and an end.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

export const settings = JSON.parse(await readFile(process.argv[2], "utf8"));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export async function ask(name, members = {}) {
  process.stdout.write(`${JSON.stringify({ ask: name, ...members })}\n`);
  return JSON.parse((await lines.next()).value);
}

// Sends the resident to an address; answers the URL that reaches the relying party, or a Request where it is posted to.
export async function visit(url, members = {}) {
  const { url: back, fields } = await ask("visit", { url: String(url), ...members });
  if (Object.keys(fields).length === 0) return new URL(back);
  return new Request(back, { method: "POST", body: new URLSearchParams(fields) });
}

export async function privateKey(jwk, alg = "ES256") {
  const algorithm = alg === "ES256" ? { name: "ECDSA", namedCurve: "P-256" } : { name: "Ed25519" };
  return { key: await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]), kid: jwk.kid };
}

// What a refusal says, in the libraries' common words.
export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return { error: error.error ?? error.cause?.error ?? null, status: error.status ?? error.response?.status ?? null, code: error.code ?? null };
  }
  return null;
}

export function end(outcome) {
  process.stdout.write(`${JSON.stringify({ outcome })}\n`, () => process.exit(0));
}
