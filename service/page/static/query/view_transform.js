/** Which part of an image is seen: `{scale, x, y}`, screen pixels per image pixel and where the image's corner lies. */

const MOST_ENLARGED = 8;
const SMALL_IMAGE_ENLARGED = 6;

const clamp = (value, lowest, highest) => Math.min(Math.max(value, lowest), highest);

/** The scale at which all of the image is seen; a small crop is enlarged. */
export function fittingScale(image, viewport) {
  const whole = Math.min(viewport.width / image.width, viewport.height / image.height);
  return Math.min(whole, SMALL_IMAGE_ENLARGED);
}

/** The view with the image's edges where they belong: in the middle if there is room around, else no gap. */
export function settled({ scale, x, y }, image, viewport) {
  const fitting = fittingScale(image, viewport);
  const held = clamp(scale, fitting, Math.max(MOST_ENLARGED, fitting));
  const along = (offset, side, room) => (side <= room ? (room - side) / 2 : clamp(offset, room - side, 0));
  return {
    scale: held,
    x: along(x, image.width * held, viewport.width),
    y: along(y, image.height * held, viewport.height),
  };
}

export const fitted = (image, viewport) => settled({ scale: 0, x: 0, y: 0 }, image, viewport);

/** Zoomed by a factor; the point of the viewport stays on what it is on. */
export function zoomed(view, factor, point, image, viewport) {
  const fitting = fittingScale(image, viewport);
  const scale = clamp(view.scale * factor, fitting, Math.max(MOST_ENLARGED, fitting));
  const ratio = scale / view.scale;
  const x = point.x - ratio * (point.x - view.x);
  const y = point.y - ratio * (point.y - view.y);
  return settled({ scale, x, y }, image, viewport);
}

/** Panned so far that all of the box is seen. */
export function showing(view, box, image, viewport) {
  const along = (offset, start, length, room) => {
    const [first, last] = [offset + start * view.scale, offset + (start + length) * view.scale];
    if (first < 0) return offset - first;
    return last > room ? offset - (last - room) : offset;
  };
  const x = along(view.x, box.x, box.width, viewport.width);
  const y = along(view.y, box.y, box.height, viewport.height);
  return settled({ ...view, x, y }, image, viewport);
}

/** The image's pixel under a point of the viewport. */
export const toImage = (view, point) => ({ x: (point.x - view.x) / view.scale, y: (point.y - view.y) / view.scale });
