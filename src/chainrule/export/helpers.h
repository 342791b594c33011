/* affine: y = x W + b, one row of W at a time, so that memory is read in order. */
static inline void NAME_affine(const float *x, const float *W, const float *b, int n_in, int n_out, float *y)
{
    int i, j;
    for (j = 0; j < n_out; j++) y[j] = b[j];
    for (i = 0; i < n_in; i++, W += n_out) {
        const float x_i = x[i];
        for (j = 0; j < n_out; j++) y[j] += x_i * W[j];
    }
}

/* quantized: y = (x W) scale + b with 8-bit weights. */
static inline void NAME_quantized(const float *x, const signed char *W, const float *scale, const float *b,
                               int n_in, int n_out, float *y)
{
    int i, j;
    for (j = 0; j < n_out; j++) y[j] = 0.0f;
    for (i = 0; i < n_in; i++, W += n_out) {
        const float x_i = x[i];
        for (j = 0; j < n_out; j++) y[j] += x_i * (float)W[j];
    }
    for (j = 0; j < n_out; j++) y[j] = y[j] * scale[j] + b[j];
}

/* normalize: (x - mean) / sqrt(variance + epsilon), in place. */
static inline void NAME_normalize(float *x, int n, float epsilon)
{
    float mean = 0.0f, variance = 0.0f;
    int i;
    for (i = 0; i < n; i++) mean += x[i] / (float)n;
    for (i = 0; i < n; i++) x[i] -= mean;
    for (i = 0; i < n; i++) variance += x[i] * x[i] / (float)n;
    for (i = 0; i < n; i++) x[i] /= sqrtf(variance + epsilon);
}

/* softmax: exp(z_k) / sum_j exp(z_j), in place; the maximum is subtracted first to avoid overflow. */
static inline void NAME_softmax(float *z, int n)
{
    float largest = z[0], sum = 0.0f;
    int i;
    for (i = 1; i < n; i++) if (z[i] > largest) largest = z[i];
    for (i = 0; i < n; i++) sum += z[i] = expf(z[i] - largest);
    for (i = 0; i < n; i++) z[i] /= sum;
}

/* smooth_clip: z / sqrt(1 + (z / 3)^2) with z = (x - center) * scale; 0 if x is missing. */
static inline float NAME_smooth_clip(double x, double center, double scale)
{
    const double z = fmax(-1e6, fmin(1e6, (x - center) * scale));
    return isnan(x) ? 0.0f : (float)(z / sqrt(1.0 + z * z / 9.0));
}

/* bin_position: piecewise-linear encoding of one bin, rising from 0 at low to 1 at high; 0 if x is missing. */
static inline float NAME_bin_position(double x, double low, double high)
{
    const double position = (x / 2 - low / 2) / (high / 2 - low / 2);
    return isnan(x) ? 0.0f : (float)fmax(0.0, fmin(1.0, position));
}

/* dates: calendar and clock fields of days since 1970-01-01, and the sine and cosine of a periodic field. For months,
   years begin in March, and 400 years have 146097 days. */
static inline double NAME_months(double days)
{
    const double day = floor(days) + 719468, era = floor(day / 146097), of_era = day - era * 146097;
    const double leap = floor(of_era / 1460) - floor(of_era / 36524) + floor(of_era / 146096);
    const double year = floor((of_era - leap) / 365);
    const double of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100));
    return 12 * (era * 400 + year) + floor((5 * of_year + 2) / 153) + 2 - 12 * 1970;
}

static inline double NAME_year(double days) { return 1970 + floor(NAME_months(days) / 12); }
static inline double NAME_month(double days) { return NAME_months(days) - 12 * floor(NAME_months(days) / 12); }
static inline double NAME_weekday(double days) { return floor(days) + 3 - 7 * floor((floor(days) + 3) / 7); }
static inline double NAME_hour(double days) { return 24 * (days - floor(days)); }

static inline float NAME_sine(double field, double period)
{
    return isnan(field) ? 0.0f : (float)sin(field * (6.283185307179586 / period));
}
static inline float NAME_cosine(double field, double period)
{
    return isnan(field) ? 0.0f : (float)cos(field * (6.283185307179586 / period));
}

/* find: the index of a text in a null-terminated list of categories; -1 if it is not in the list. */
static inline float NAME_find(const char *const *categories, const char *text)
{
    int k, i;
    for (k = 0; categories[k]; k++) {
        for (i = 0; categories[k][i] && categories[k][i] == text[i]; i++) {}
        if (categories[k][i] == text[i]) return (float)k;
    }
    return -1.0f;
}
