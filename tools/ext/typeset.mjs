// Reads one formula and writes one answer per line: {tex, display} -> {mathml} or {error}. mathml.py
// starts it as `node typeset.mjs <temml.mjs> <macros as JSON>`; it ends with its input.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { default: temml } = await import(pathToFileURL(process.argv[2]));
const macros = JSON.parse(process.argv[3]);

for await (const line of createInterface({ input: process.stdin })) {
  const { tex, display } = JSON.parse(line);
  let answer;
  try {
    const mathml = temml.renderToString(tex, {
      displayMode: display,
      throwOnError: true,
      wrap: display ? "none" : "tex", // a display formula scrolls, an inline one may break
      macros: { ...macros }, // a copy: \gdef in one formula must not affect the next
    });
    answer = { mathml };
  } catch (error) {
    // Temml marks the error with combining underlines over several lines; a log needs one plain line.
    answer = { error: error.message.replace(/\u0332/g, "").replace(/\s+/g, " ").trim() };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
