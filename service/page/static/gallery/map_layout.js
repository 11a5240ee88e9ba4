/** Where places lie on a map that is drawn from their coordinates alone: equirectangular, true at its middle. */

const EARTH_RADIUS_M = 6_371_008.8;
const M_PER_DEGREE = (Math.PI / 180) * EARTH_RADIUS_M;
const SMALLEST_EXTENT_DEG = 0.0005; // some 50 m, so that a single place has surroundings

/**
 * A map of `width` x `height` pixels with all `places` (`{latitude, longitude}`, at least one).
 *
 * @returns `{toPixels(place) => [x, y], toPlace(x, y), metresPerPixel}`
 */
export function projection(places, width, height, margin) {
  const west = westernmost(places.map(({ longitude }) => longitude));
  const easting = (longitude) => (longitude - west + 360) % 360; // across the date line without a gap
  const eastings = places.map(({ longitude }) => easting(longitude));
  const [lowest, highest] = range(places.map(({ latitude }) => latitude));
  const [left, right] = range(eastings);
  const middle = (lowest + highest) / 2;
  const shrink = Math.max(0.01, Math.cos((middle * Math.PI) / 180));
  const scale = Math.min(
    (width - 2 * margin) / Math.max((right - left) * shrink, SMALLEST_EXTENT_DEG),
    (height - 2 * margin) / Math.max(highest - lowest, SMALLEST_EXTENT_DEG),
  );
  const centre = (left + right) / 2;
  return {
    toPixels: ({ latitude, longitude }) => [
      width / 2 + (easting(longitude) - centre) * shrink * scale,
      height / 2 - (latitude - middle) * scale,
    ],
    toPlace: (x, y) => ({
      latitude: middle - (y - height / 2) / scale,
      longitude: wrapped(west + centre + (x - width / 2) / (shrink * scale)),
    }),
    metresPerPixel: M_PER_DEGREE / scale,
  };
}

/**
 * Places that lie close together, as one: `{x, y, size, places, latitude, longitude, radiusM}`, the largest first. The
 * circles of `size` pixels do not overlap; `radiusM` reaches all places of a cluster.
 */
export function clusters(places, { toPixels, toPlace }) {
  const found = [];
  for (const place of places) {
    const [x, y] = toPixels(place);
    addApart(found, { x, y, size: sizeOf(1), places: [place] });
  }
  for (const cluster of found) {
    Object.assign(cluster, toPlace(cluster.x, cluster.y));
    cluster.radiusM = Math.max(...cluster.places.map((place) => distanceM(place, cluster)));
  }
  return found.sort((a, b) => b.places.length - a.places.length);
}

/** Adds a cluster; those that it overlaps are joined with it, and so on. */
function addApart(found, added) {
  for (;;) {
    const index = found.findIndex(({ x, y, size }) => Math.hypot(x - added.x, y - added.y) < (size + added.size) / 2);
    if (index < 0) break;
    const [other] = found.splice(index, 1);
    const share = other.places.length / (other.places.length + added.places.length);
    const places = other.places;
    places.push(...added.places);
    added = {
      x: share * other.x + (1 - share) * added.x,
      y: share * other.y + (1 - share) * added.y,
      size: sizeOf(places.length),
      places,
    };
  }
  found.push(added);
}

const sizeOf = (number) => (number === 1 ? 16 : Math.min(64, 24 + 4 * Math.log2(number)));

/** Metres between two places along the great circle (haversine), as the service measures them. */
export function distanceM(a, b) {
  const radians = (degrees) => (degrees * Math.PI) / 180;
  const dLatitude = Math.sin(radians(b.latitude - a.latitude) / 2);
  const dLongitude = Math.sin(radians(b.longitude - a.longitude) / 2);
  const h = dLatitude ** 2 + Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * dLongitude ** 2;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.sqrt(Math.min(1, h)));
}

/** The largest of 1, 2, 5, 10, ... that is at most `limit`. */
export function roundStep(limit) {
  const power = 10 ** Math.floor(Math.log10(limit));
  return [5, 2, 1].map((factor) => factor * power).find((step) => step <= limit);
}

/** The longitude after the widest gap: from there eastwards everything lies close together. */
function westernmost(longitudes) {
  const sorted = [...new Set(longitudes)].sort((a, b) => a - b);
  let west = sorted[0];
  let widest = sorted[0] + 360 - sorted.at(-1);
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i] - sorted[i - 1] > widest) [west, widest] = [sorted[i], sorted[i] - sorted[i - 1]];
  }
  return west;
}

const range = (values) => [Math.min(...values), Math.max(...values)];
const wrapped = (longitude) => ((((longitude + 180) % 360) + 360) % 360) - 180;
