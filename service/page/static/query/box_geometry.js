/** Boxes as plain areas `{x, y, width, height}` in whole pixels of an image `{width, height}`: each stays inside it. */

/** The service takes no smaller side. */
export const SMALLEST_SIDE_PX = 4;

const clamp = (value, lowest, highest) => Math.min(Math.max(value, lowest), Math.max(lowest, highest));

/** The area between two points, in any order. */
export function between(one, other) {
  const x = Math.min(one.x, other.x);
  const y = Math.min(one.y, other.y);
  return { x, y, width: Math.max(one.x, other.x) - x, height: Math.max(one.y, other.y) - y };
}

/** In whole pixels, inside the image, not smaller than a box may be. */
export function newBox(area, image) {
  const left = clamp(Math.round(area.x), 0, image.width - SMALLEST_SIDE_PX);
  const top = clamp(Math.round(area.y), 0, image.height - SMALLEST_SIDE_PX);
  const right = clamp(Math.round(area.x + area.width), left + SMALLEST_SIDE_PX, image.width);
  const bottom = clamp(Math.round(area.y + area.height), top + SMALLEST_SIDE_PX, image.height);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** The box moved; at the image's edge it stops and keeps its size. */
export function moved({ x, y, width, height }, dx, dy, image) {
  return {
    x: clamp(Math.round(x + dx), 0, image.width - width),
    y: clamp(Math.round(y + dy), 0, image.height - height),
    width,
    height,
  };
}

/** The box with some of its sides moved; `sides` has letters of `nesw`. A side does not pass the opposite one. */
export function resized({ x, y, width, height }, sides, dx, dy, image) {
  let [left, top, right, bottom] = [x, y, x + width, y + height];
  if (sides.includes("w")) left = clamp(Math.round(left + dx), 0, right - SMALLEST_SIDE_PX);
  if (sides.includes("e")) right = clamp(Math.round(right + dx), left + SMALLEST_SIDE_PX, image.width);
  if (sides.includes("n")) top = clamp(Math.round(top + dy), 0, bottom - SMALLEST_SIDE_PX);
  if (sides.includes("s")) bottom = clamp(Math.round(bottom + dy), top + SMALLEST_SIDE_PX, image.height);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** As the service takes it. */
export const boxText = ({ x, y, width, height }) => `${x},${y},${width},${height}`;

/** As a screen reader says it. */
export const boxWords = ({ x, y, width, height }) => `${width} by ${height} pixels at ${x}, ${y}`;
