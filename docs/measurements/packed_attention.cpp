// Attention of packed short texts, fp32: each (text, head) is one task; 6 queries at a time, vectors of 8 floats.
// A measurement only (engine_cpu.py): the engine does not use it.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <cmath>
#include <vector>

typedef float V __attribute__((vector_size(32), aligned(4)));
typedef int32_t I __attribute__((vector_size(32)));
constexpr int W = 8, ROWS = 6, KEYS = 2 * W;

static inline V load(const float* p) { return *reinterpret_cast<const V*>(p); }
static inline void store(float* p, V v) { *reinterpret_cast<V*>(p) = v; }

static inline V exp_of_negative(V x) {  // Cephes' polynomial, |relative error| < 2e-7
  V floor_ = {-87, -87, -87, -87, -87, -87, -87, -87};
  x = x > floor_ ? x : floor_;
  V n = x * 1.44269504f - 0.5f;
  I whole = __builtin_convertvector(n, I);
  n = __builtin_convertvector(whole, V);
  x = x - n * 0.693359375f + n * 2.12194440e-4f;
  V y = ((((1.9875691500e-4f * x + 1.3981999507e-3f) * x + 8.3334519073e-3f) * x + 4.1665795894e-2f) * x +
         1.6666665459e-1f) * x + 5.0000001201e-1f;
  y = y * x * x + x + 1.0f;
  I bits = (whole + 127) << 23;
  V scale;
  __builtin_memcpy(&scale, &bits, sizeof(V));
  return y * scale;
}

template <int R>
static void rows_of(const float* q, long q_step, const float* keys, const float* v, long step, float* out,
                    long out_step, float* scores, int length, int padded, int dim, float scale) {
  for (int k = 0; k < padded; k += KEYS) {
    V a[R][2] = {};
    for (int d = 0; d < dim; d++) {
      V k0 = load(keys + (long)d * padded + k), k1 = load(keys + (long)d * padded + k + W);
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) { float s = q[r * q_step + d]; a[r][0] += s * k0; a[r][1] += s * k1; }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
      store(scores + (long)r * padded + k, a[r][0] * scale); store(scores + (long)r * padded + k + W, a[r][1] * scale); }
  }
  float inverse[R];
  for (int r = 0; r < R; r++) {
    float* row = scores + (long)r * padded;
    for (int k = length; k < padded; k++) row[k] = -1e30f;
    V most = load(row);
    for (int k = W; k < padded; k += W) { V x = load(row + k); most = most > x ? most : x; }
    float top = most[0];
    for (int i = 1; i < W; i++) top = std::max(top, most[i]);
    V sum = {};
    for (int k = 0; k < padded; k += W) { V e = exp_of_negative(load(row + k) - top); store(row + k, e); sum += e; }
    float total = 0;
    for (int i = 0; i < W; i++) total += sum[i];
    inverse[r] = 1 / total;
  }
  for (int d = 0; d < dim; d += KEYS) {
    V a[R][2] = {};
    for (int k = 0; k < length; k++) {
      V v0 = load(v + k * step + d), v1 = load(v + k * step + d + W);
#pragma GCC unroll 6
      for (int r = 0; r < R; r++) { float s = scores[(long)r * padded + k]; a[r][0] += s * v0; a[r][1] += s * v1; }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++) {
      store(out + r * out_step + d, a[r][0] * inverse[r]); store(out + r * out_step + d + W, a[r][1] * inverse[r]); }
  }
}

// query: (tokens, width) or (texts, width); key, value: (tokens, width), rows may be strided. starts: (texts + 1), int32.
at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& starts,
                  int64_t heads) {
  const int64_t texts = starts.numel() - 1, width = query.size(1), dim = width / heads;
  TORCH_CHECK(dim % KEYS == 0 && query.scalar_type() == at::kFloat && query.stride(1) == 1);
  const bool first_only = query.size(0) == texts;
  at::Tensor out = at::empty({query.size(0), width}, query.options());
  const float *q = query.const_data_ptr<float>(), *k = key.const_data_ptr<float>(), *v = value.const_data_ptr<float>();
  const int32_t* start = starts.const_data_ptr<int32_t>();
  float* o = out.mutable_data_ptr<float>();
  const int64_t q_step = query.stride(0), k_step = key.stride(0), v_step = value.stride(0);
  at::parallel_for(0, texts * heads, 4, [&](int64_t begin, int64_t end) {
    std::vector<float> keys, scores;
    for (int64_t i = begin; i < end; i++) {
      const int64_t text = i / heads, column = i % heads * dim, from = start[text];
      const int length = start[text + 1] - from, padded = (length + KEYS - 1) / KEYS * KEYS;
      keys.assign((size_t)padded * dim, 0.f);
      scores.resize((size_t)padded * ROWS);
      for (int t = 0; t < length; t++)
        for (int d = 0; d < dim; d++) keys[(size_t)d * padded + t] = k[(from + t) * k_step + column + d];
      const int64_t queries = first_only ? 1 : length, q_from = first_only ? text : from;
      const float scale = 1 / std::sqrt((float)dim);
      int64_t r = 0;
#define RUN(R) rows_of<R>(q + (q_from + r) * q_step + column, q_step, keys.data(), v + from * v_step + column, v_step, \
                          o + (q_from + r) * width + column, width, scores.data(), length, padded, dim, scale)
      for (; r + ROWS <= queries; r += ROWS) RUN(6);
      switch (queries - r) { case 5: RUN(5); break; case 4: RUN(4); break; case 3: RUN(3); break;
                             case 2: RUN(2); break; case 1: RUN(1); break; }
    }
  });
  return out;
}

TORCH_LIBRARY(triagem_measurement, m) { m.def("attend(Tensor q, Tensor k, Tensor v, Tensor starts, int heads) -> Tensor", attend); }
