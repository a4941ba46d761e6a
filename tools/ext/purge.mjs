// A style sheet in, the rules of it that some page can use out. Started by styles.py in the folder
// of the built site: `node purge.mjs < all.css > site.css`.
import { text } from "node:stream/consumers";
import { PurgeCSS } from "purgecss";

const [{ css }] = await new PurgeCSS().purge({
  content: ["**/*.html", "_static/**/*.js"],
  css: [{ raw: await text(process.stdin) }],
  // What no page contains: a rule of a pseudo-class alone, and attributes whose names scripts put together.
  safelist: [/^:/, /^data-/],
});
process.stdout.write(css);
