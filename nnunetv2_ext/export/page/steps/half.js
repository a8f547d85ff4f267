// Half precision, in which nnU-Net adds up its tiles. Numbers are kept as 16 bits; not every browser has Float16Array.

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The number behind each 16 bits. */
export const NUMBER = new Float32Array(65536);
for (let half = 0; half < NUMBER.length; half++) {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const size = exponent === 31 ? (fraction ? NaN : Infinity)
    : exponent === 0 ? fraction * 2 ** -24
    : (1 + fraction / 1024) * 2 ** (exponent - 15);
  NUMBER[half] = half & 0x8000 ? -size : size;
}

/** The 16 bits of the nearest number, the even one of two. */
export function toHalf(number) {
  float[0] = number;
  const sign = (bits[0] >>> 16) & 0x8000;
  let size = bits[0] & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00; // not a number
  if (float[0] !== number) {
    // Rounding twice can go wrong. An odd last bit stands for what is lost here, so that the second rounding sees it.
    if (Math.abs(float[0]) > Math.abs(number)) size -= 1;
    size |= 1;
  }
  if (size >= 0x47800000) return sign | 0x7c00; // infinite
  if (size < 0x38800000) { // Below the normal numbers halves are multiples of 2^-24, as float32 is between 0.5 and 1.
    bits[0] = size;
    float[0] += 0.5;
    return sign | (bits[0] - 0x3f000000);
  }
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
}
