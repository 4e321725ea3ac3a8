// Prints, as one JSON object, the versions of the packages that package.json wants, as they load from here.
import { readFile } from "node:fs/promises";

const text = await readFile(new URL("package.json", import.meta.url), "utf8");
const versions = {};
for (const name of Object.keys(JSON.parse(text).dependencies)) {
  const main = import.meta.resolve(name);
  await import(main);
  const folder = main.slice(0, main.lastIndexOf(`/node_modules/${name}/`) + `/node_modules/${name}/`.length);
  versions[name] = JSON.parse(await readFile(new URL("package.json", folder), "utf8")).version;
}
process.stdout.write(JSON.stringify(versions));
