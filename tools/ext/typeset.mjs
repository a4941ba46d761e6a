// One formula a line in, one line out: {tex, display} -> {mathml} or {error}. Started by mathml.py
// as `node typeset.mjs <temml.mjs> <macros as JSON>`; ends when its input does.
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
      macros: { ...macros }, // a copy: \gdef in one formula must not reach the next
    });
    answer = { mathml };
  } catch (error) {
    // Temml underlines the place with combining marks over several lines; a log wants one plain line.
    answer = { error: error.message.replace(/\u0332/g, "").replace(/\s+/g, " ").trim() };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
