// Numerical integration, and the power of its tail.

// One classical Runge-Kutta step of size h for y' = slope(y).
export function rungeKutta(slope, y, h) {
  const moved = (k, s) => y.map((yi, i) => yi + s * k[i]);
  const k1 = slope(y);
  const k2 = slope(moved(k1, h / 2));
  const k3 = slope(moved(k2, h / 2));
  const k4 = slope(moved(k3, h));
  return y.map((yi, i) => yi + (h / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
}

// The p of a quantity that falls like distance^p, from its values at a distance and at half of it.
export const tailPower = (whole, half) => Math.log2(whole / half);
