// Draws a QR code from its rows of modules.

import { svg } from "./dom.js";

/** `rows`: one string a row, "1" where a module is dark. With the quiet zone of four modules that ISO/IEC 18004 asks for. */
export function qr(rows, label) {
  const size = rows.length + 8;
  let path = "";
  rows.forEach((row, y) => {
    for (const run of row.matchAll(/1+/g)) path += `M${run.index + 4} ${y + 4}h${run[0].length}v1h-${run[0].length}z`;
  });
  return svg("svg", { viewBox: `0 0 ${size} ${size}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, class: "light" }), svg("path", { d: path, class: "dark" }));
}
