// Bundles the views into the package that serves them: `node build.mjs [folder]`.
// Modules with a top-level await need es2022 and the format esm; nothing is fetched from anywhere else.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const folder = process.argv[2] ?? "../cernvmviews/static";
const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "inline",
  define: { INLINE: "false" },
  logLevel: "warning",
};

rmSync(folder, { recursive: true, force: true });
const made = await build({
  ...shared,
  entryPoints: ["src/page.ts", "src/widget.ts", "src/views.css"],
  outdir: folder,
  splitting: true,
  chunkNames: "part-[hash]",
  metafile: true,
});
// In one piece, for a kernel to send where the notebook server serves no views.
await build({
  ...shared,
  entryPoints: ["src/widget.ts"],
  outfile: `${folder}/inline.js`,
  define: { INLINE: "true" },
});

// What is bundled keeps its licences, whoever brought it along.
const bundled = Object.keys(made.metafile.inputs)
  .map((file) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1])
  .filter(Boolean);
const notices = [...new Set(bundled)].sort().map((name) => {
  const files = readdirSync(`node_modules/${name}`).filter((file) => /^licen[cs]e/i.test(file));
  return [name, ...files.map((file) => readFileSync(`node_modules/${name}/${file}`, "utf8"))].join("\n\n");
});
writeFileSync(`${folder}/licences.txt`, notices.join("\n\n\n"));
