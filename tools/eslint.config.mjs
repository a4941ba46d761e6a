// Rules for our JavaScript (`make lint`); tools/lint.py runs ESLint from the root of the checkout.
import { basename } from "node:path";
import js from "@eslint/js";

const GEOMETRY = ["abs", "ceil", "floor", "hypot", "max", "min", "random", "round"];
// Other allowed mathematics, by file and function, with the reason.
const ALLOWED = {
  "controls.js": { slider: "equal factors at equal distances on the track" },
  "integrate.js": { tailPower: "a numerical method for any integrand" },
  "loss_gallery.js": { relation: "the angle between two arrows" },
  "plot.js": {
    decade: "round numbers on an axis",
    drawArrows: "length and colour by the logarithm of a size",
    magnitudeLegend: "the mark on that scale",
  },
};

const nameOf = ({ id, key }) => (id ?? key)?.name;
const mathematics = {
  create(context) {
    const allowed = ALLOWED[basename(context.filename)] ?? {};
    const used = new Set();
    const report = (node, what) => {
      const names = context.sourceCode.getAncestors(node).map(nameOf);
      const found = names.find((name) => Object.hasOwn(allowed, name ?? ""));
      if (found) used.add(found);
      else {
        const message = `${what} is mathematics: print it from SymPy (widgets/figure.py, printed), ` +
          "or give the reason for it in tools/eslint.config.mjs.";
        context.report({ node, message });
      }
    };
    return {
      Identifier(node) {
        if (node.name !== "Math") return;
        const { parent } = node;
        const plain = parent.type === "MemberExpression" && parent.object === node && !parent.computed;
        if (!plain || !GEOMETRY.includes(parent.property.name)) {
          report(node, plain ? `Math.${parent.property.name}` : "an alias of Math");
        }
      },
      ":matches(BinaryExpression[operator='**'], AssignmentExpression[operator='**='])"(node) {
        report(node, "**");
      },
      "Program:exit"(node) {
        for (const name of Object.keys(allowed).filter((one) => !used.has(one))) {
          context.report({ node, message: `${name} has no mathematics: remove it from tools/eslint.config.mjs.` });
        }
      },
    };
  },
};

// Only the globals that are used, so that an undeclared `name` or `top` is found.
const known = (names) => Object.fromEntries(names.split(/\s+/).map((name) => [name, "readonly"]));
const BROWSER = known(`
  Blob DOMPoint HTMLCanvasElement Image IntersectionObserver Node SVGSVGElement URL URLSearchParams
  XMLSerializer addEventListener atob cancelAnimationFrame clearTimeout console document
  getComputedStyle history location matchMedia navigator requestAnimationFrame setTimeout`);

export default [
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: { globals: BROWSER },
    rules: {
      eqeqeq: "error", "no-shadow": "error", "no-undef": "error", "no-unused-vars": "error",
      "no-var": "error", "prefer-const": "error",
    },
  },
  {
    files: ["**/*.js"],
    ignores: ["tools/**"],
    plugins: { dpofield: { rules: { mathematics } } },
    rules: { "dpofield/mathematics": "error" },
  },
  { files: ["tools/assets/*.js"], languageOptions: { sourceType: "script" } },
  { files: ["tools/**/*.mjs"], languageOptions: { globals: { process: "readonly" } } },
];
