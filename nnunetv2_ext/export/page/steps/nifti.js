// Reading NIfTI images as ITK reads them, and writing segmentations of them.

import {Refusal} from './refusal.js';
import {count} from './volume.js';

const HEADER = 348;
const IMAGE_STARTS = 352;
const TYPES = {
  2: [1, (view, at) => view.getUint8(at)],
  4: [2, (view, at, little) => view.getInt16(at, little)],
  8: [4, (view, at, little) => view.getInt32(at, little)],
  16: [4, (view, at, little) => finite(view.getFloat32(at, little))],
  64: [8, (view, at, little) => finite(view.getFloat64(at, little))],
  256: [1, (view, at) => view.getInt8(at)],
  512: [2, (view, at, little) => view.getUint16(at, little)],
  768: [4, (view, at, little) => view.getUint32(at, little)],
  1024: [8, (view, at, little) => Number(view.getBigInt64(at, little))],
  1280: [8, (view, at, little) => Number(view.getBigUint64(at, little))],
};
const MILLIMETRES = {1: 1000, 2: 1, 3: 0.001}; // in a unit of length
const UNIT_OF_LENGTH = 7; // which bits of the units
// What a segmentation's header takes from its image's, from byte to byte: sizes, spacing, their units, and qform and sform.
const GEOMETRY = [[40, 56], [76, 108], [123, 124], [252, 328]];

const finite = (number) => (Number.isFinite(number) ? number : 0); // as ITK does

/**
 * An image of three axes from a file, {data, shape, spacing, millilitres, header}; axes are [z, y, x], millilitres a voxel's.
 *
 * asNibabel: whether spacing is in the file's own unit, as nibabel gives it, or in millimetres;
 * check: called with shape and spacing before the voxels are read; throws to stop that.
 * Throws a Refusal if the file is no such image.
 */
export async function readImage(file, {asNibabel = false, check = () => {}} = {}) {
  const bytes = new ByteReader(await uncompressed(file));
  const header = await bytes.take(HEADER);
  const described = header && readHeader(new DataView(header.buffer), file.name);
  if (!described) throw new Refusal(`${file.name} is not a NIfTI image. Choose a .nii or .nii.gz file.`);
  const {shape, unit, type, little, offset, slope, intercept} = described;
  const millimetres = described.spacing.map((length) => length * unit);
  const spacing = asNibabel ? described.spacing : millimetres;
  const millilitres = millimetres.reduce((product, length) => product * length, 1) / 1000;
  check(shape, spacing);
  const [size, read] = TYPES[type];
  const voxels = await bytes.take(count(shape) * size, offset - HEADER);
  if (!voxels) throw new Refusal(`${file.name} ends too early: part of the image is missing. Copy or download it again.`);
  const view = new DataView(voxels.buffer);
  const data = new Float32Array(count(shape));
  for (let i = 0; i < data.length; i++) data[i] = read(view, i * size, little) * slope + intercept;
  return {data, shape, spacing, millilitres, header};
}

/** The bytes of a .nii file of a segmentation, whose geometry is that of the image with this header. */
export function writeSegmentation(labels, header) {
  const bytes = new Uint8Array(IMAGE_STARTS + labels.length);
  for (const [start, stop] of GEOMETRY) bytes.set(header.subarray(start, stop), start);
  const view = new DataView(bytes.buffer);
  const little = isLittle(new DataView(header.buffer));
  view.setInt32(0, HEADER, little);
  view.setInt16(40, 3, little); // axes
  for (let axis = 4; axis <= 7; axis++) view.setInt16(40 + 2 * axis, 1, little);
  view.setInt16(70, 2, little); // unsigned bytes
  view.setInt16(72, 8, little); // bits
  view.setFloat32(108, IMAGE_STARTS, little);
  view.setFloat32(112, 1, little); // slope
  bytes.set(new TextEncoder().encode('n+1'), 344);
  bytes.set(labels, IMAGE_STARTS);
  return bytes;
}

/** null if it is no NIfTI's. */
function readHeader(view, name) {
  const little = isLittle(view);
  if (little === null) return null;
  if (view.getInt32(0, little) === 540) throw new Refusal(`${name} is a NIfTI-2 image. Save it as NIfTI-1.`);
  const magic = String.fromCharCode(...new Uint8Array(view.buffer, 344, 3));
  if (magic === 'ni1') throw new Refusal(`${name} is a header without its image. Save both as one .nii file.`);
  if (magic !== 'n+1') return null;
  const sizes = Array.from({length: 8}, (_, index) => view.getInt16(40 + 2 * index, little));
  const axes = sizes.slice(1, 1 + sizes[0]);
  while (axes.length > 3 && axes.at(-1) <= 1) axes.pop();
  if (axes.length > 3) {
    throw new Refusal(`${name} has ${axes.length} dimensions (${axes.join(' × ')}), need 3: save one volume of it as a file.`);
  }
  if (axes.length < 3) throw new Refusal(`${name} has ${axes.length} dimensions, need 3.`);
  const type = view.getInt16(70, little);
  if (!(type in TYPES)) throw new Refusal(`${name} has voxels that are no plain numbers (NIfTI's type ${type}), such as colors.`);
  if (axes.some((size) => size < 1)) throw new Refusal(`${name} is damaged: its size is ${axes.join(' × ')}.`);
  const unit = MILLIMETRES[view.getUint8(123) & UNIT_OF_LENGTH] ?? 1;
  const spacing = [1, 2, 3].map((axis) => Math.abs(view.getFloat32(76 + 4 * axis, little) || 1));
  const slope = finite(view.getFloat32(112, little)) || 1;
  const intercept = finite(view.getFloat32(116, little));
  const offset = Math.max(IMAGE_STARTS, view.getFloat32(108, little));
  return {shape: axes.reverse(), spacing: spacing.reverse(), unit, type, little, offset, slope, intercept};
}

/** Whether numbers begin with their lowest byte; null if this is no NIfTI's header. */
function isLittle(view) {
  for (const little of [true, false]) if ([HEADER, 540].includes(view.getInt32(0, little))) return little;
  return null;
}

async function uncompressed(file) {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const compressed = first === 0x1f && second === 0x8b;
  return compressed ? file.stream().pipeThrough(new DecompressionStream('gzip')) : file.stream();
}

/** Takes bytes from a stream, so that an image is never in memory twice. */
class ByteReader {
  #reader;
  #left = new Uint8Array(0);

  constructor(stream) {
    this.#reader = stream.getReader();
  }

  /** So many bytes after those that are skipped, in an array of their own; null if there aren't that many. */
  async take(length, skipped = 0) {
    if (skipped && !(await this.take(skipped))) return null;
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (!this.#left.length && !(await this.#more())) return null;
      const part = this.#left.subarray(0, length - filled);
      bytes.set(part, filled);
      filled += part.length;
      this.#left = this.#left.subarray(part.length);
    }
    return bytes;
  }

  async #more() {
    try {
      const {done, value} = await this.#reader.read();
      if (!done) this.#left = value;
      return !done;
    } catch { // a compressed file that is cut off or damaged
      return false;
    }
  }
}
