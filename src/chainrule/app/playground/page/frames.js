// Binary messages: see chainrule.app.playground.frames, which writes them.

const KINDS = {f4: Float32Array, u1: Uint8Array};

/**
 * @param {ArrayBuffer} buffer
 * @returns {object} the header's entries, and `arrays`: name -> {data, shape}
 */
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let place = 4 + length;
  for (const [name, [kind, shape]] of Object.entries(header.arrays)) {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = new KINDS[kind](buffer, place, size);
    header.arrays[name] = {data, shape};
    place += Math.ceil(data.byteLength / 4) * 4;
  }
  return header;
}
