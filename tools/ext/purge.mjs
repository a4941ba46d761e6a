// Reads a style sheet and writes the rules that some page can use. styles.py starts it in the folder
// of the built site: `node purge.mjs < all.css > site.css`.
import { text } from "node:stream/consumers";
import { PurgeCSS } from "purgecss";

const [{ css }] = await new PurgeCSS().purge({
  content: ["**/*.html", "_static/**/*.js"],
  css: [{ raw: await text(process.stdin) }],
  // Kept although no page has them: rules of pseudo-classes alone, and attributes that scripts name.
  safelist: [/^:/, /^data-/],
});
process.stdout.write(css);
