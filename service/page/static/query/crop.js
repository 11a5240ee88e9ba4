/** The vehicle that was searched for, cut from its image by its box. */
import { useEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { Picture } from "../parts/picture.js";

const MOST_PX = 320;

/** The part of the image in the box, or all of it: `{x, y, width, height}`. */
export const areaOf = ({ image, box }) => box ?? { x: 0, y: 0, width: image.width, height: image.height };

/** @param subject `{record, image, box}`. */
export function Crop({ subject, alt }) {
  if (subject.record) return html`<${Picture} path=${`gallery/${subject.record}/image`} alt=${alt} />`;
  if (!subject.image.element) return html`<div class="picture"><span>${subject.image.name}</span></div>`;
  return html`<${DrawnCrop} subject=${subject} alt=${alt} />`;
}

function DrawnCrop({ subject, alt }) {
  const canvas = useRef(null);
  const area = areaOf(subject);
  const scale = Math.min(1, MOST_PX / Math.max(area.width, area.height));
  const [width, height] = [area.width, area.height].map((side) => Math.max(1, Math.round(side * scale)));
  useEffect(() => {
    const context = canvas.current.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(subject.image.element, area.x, area.y, area.width, area.height, 0, 0, width, height);
  }, [subject]);
  return html`
    <div class="picture">
      <canvas ref=${canvas} width=${width} height=${height} role=${alt ? "img" : null} aria-label=${alt || null}
        aria-hidden=${alt ? null : "true"}></canvas>
    </div>
  `;
}
