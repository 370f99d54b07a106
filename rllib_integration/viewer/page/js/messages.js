// Messages as the viewer's Python side packs them (telemetry/messages.py): a JSON head, then little-endian arrays.

export const Kind = {
  HELLO: 1, WORLD: 2, SIGNALS: 3, ACTORS: 4, FRAME: 5, SENSORS: 6, EPISODE: 7, STEP: 8, PICTURE: 9, POINTS: 10,
  EVENT: 11, PAINT: 12, STATE: 13, TILES: 14, TOWN: 15, WEATHER: 16, REPLAY: 17, RUN: 18,
};

const VIEWS = { "|u1": Uint8Array, "<i2": Int16Array, "<i4": Int32Array, "<u4": Uint32Array, "<f4": Float32Array };
const decoder = new TextDecoder();
const padded = (size) => size + ((4 - (size % 4)) % 4);

/** Takes one message apart; `offset` has to be a multiple of four. */
export function unpack(buffer, offset = 0) {
  const view = new DataView(buffer, offset);
  const size = view.getUint32(4, true);
  const head = JSON.parse(decoder.decode(new Uint8Array(buffer, offset + 8, size)));
  let at = offset + 8 + padded(size);
  const arrays = (head.arrays ?? []).map(([type, shape]) => {
    const View = VIEWS[type];
    const count = shape.reduce((product, side) => product * side, 1);
    const array = new View(buffer, at, count);
    at += padded(count * View.BYTES_PER_ELEMENT);
    return array;
  });
  return { kind: view.getUint8(0), head, arrays, end: at };
}

/** All messages of a recorded episode: each with its length before it, padded to four bytes. */
export function* unpackAll(buffer) {
  const view = new DataView(buffer);
  for (let at = 0; at + 4 <= buffer.byteLength; ) {
    const size = view.getUint32(at, true);
    yield unpack(buffer, at + 4);
    at += 4 + padded(size);
  }
}
