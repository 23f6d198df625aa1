"use strict";
// Drawings and SMILES of samples, and class names, as reports show them.

let drawings = [], smiles = [];

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).text()).split("\n");
}

// A button that copies a SMILES; nothing for samples without one.
function copyButton(text) {
  if (!text) return [];
  const button = element("button", { type: "button", class: "copy", title: text }, "Copy SMILES");
  button.addEventListener("click", async () => {
    button.textContent = await copy(text) ? "Copied" : "Could not be copied";
    setTimeout(() => { button.textContent = "Copy SMILES"; }, 1500);
  });
  return [button];
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Some browsers have no clipboard for pages that are files.
    const area = element("textarea", { class: "outside" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function drawing(number, label) {
  const line = drawings[number];
  if (!line) return element("p", { class: "note" }, "No drawing available.");
  return line.startsWith("I ") ? image(line, label) : molecule(line, label);
}

function molecule(line, label) {
  const [width, height] = payload.drawingSize;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" class="molecule" role="img" viewBox="0 0 ${width} ${height}" fill="none" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" font-family="Arial, sans-serif">${line}</svg>`;
  const made = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  made.setAttribute("aria-label", label);
  return document.importNode(made, true);
}

function image(line, label) {
  const [, width, height, channels, data] = line.split(" ");
  const canvas = element("canvas", { class: "molecule", width, height, role: "img", "aria-label": label });
  const bytes = atob(data), context = canvas.getContext("2d"), pixels = context.createImageData(+width, +height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let part = 0; part < 3; part++) pixels.data[4 * pixel + part] = bytes.charCodeAt(pixel * channels + (channels > 1 ? part : 0));
    pixels.data[4 * pixel + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function className(code) { return payload.classes[code]; }
