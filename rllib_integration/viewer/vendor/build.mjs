// Writes ../page/vendor: one minified module a library, the font, and every licence. Run with `npm ci && npm run build`.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const out = "../page/vendor";
const bundles = { three: "./three_parts.js", uplot: "uplot", "mp4-muxer": "mp4-muxer" };
const fonts = { "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2" };
const packages = ["three", "uplot", "mp4-muxer", "@fontsource-variable/inter"];

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const [name, entry] of Object.entries(bundles)) {
  const source = entry.startsWith(".") ? entry : undefined;
  await build({
    ...(source ? { entryPoints: [source] } : { stdin: { contents: reexport(entry), resolveDir: "." } }),
    bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "inline", outfile: `${out}/${name}.js`,
  });
}
copyFileSync("node_modules/uplot/dist/uPlot.min.css", `${out}/uplot.css`);
for (const [name, file] of Object.entries(fonts)) copyFileSync(`node_modules/${file}`, `${out}/${name}`);

const licences = packages.map((name) => {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
  const text = readFileSync(`node_modules/${name}/LICENSE`, "utf8").replaceAll("\r\n", "\n").trim();
  return `${name} ${version} (${license})\n${"=".repeat(60)}\n${text}\n`;
});
writeFileSync(`${out}/LICENSES.txt`, licences.join("\n\n"));

function reexport(name) {
  return name === "uplot" ? `export { default } from "uplot";` : `export * from "${name}";`;
}
