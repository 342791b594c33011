/* floor: of NAME_REAL; the condition is constant, so that a program for floats contains no double. */
static inline NAME_REAL NAME_floor(NAME_REAL x)
{
    return sizeof x == sizeof(float) ? (NAME_REAL)floorf((float)x) : (NAME_REAL)floor((double)x);
}

/* sqrt: of NAME_REAL; the condition is constant, so that a program for floats contains no double. */
static inline NAME_REAL NAME_sqrt(NAME_REAL x)
{
    return sizeof x == sizeof(float) ? (NAME_REAL)sqrtf((float)x) : (NAME_REAL)sqrt((double)x);
}

/* sin: of NAME_REAL; the condition is constant, so that a program for floats contains no double. */
static inline NAME_REAL NAME_sin(NAME_REAL x)
{
    return sizeof x == sizeof(float) ? (NAME_REAL)sinf((float)x) : (NAME_REAL)sin((double)x);
}

/* cos: of NAME_REAL; the condition is constant, so that a program for floats contains no double. */
static inline NAME_REAL NAME_cos(NAME_REAL x)
{
    return sizeof x == sizeof(float) ? (NAME_REAL)cosf((float)x) : (NAME_REAL)cos((double)x);
}

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
static inline float NAME_smooth_clip(NAME_REAL x, NAME_REAL center, NAME_REAL scale)
{
    const NAME_REAL far = 1000000, y = (x - center) * scale, z = y < -far ? -far : y > far ? far : y;
    return isnan(x) ? 0.0f : (float)(z / NAME_sqrt(1 + z * z / 9));
}

/* bin_position: piecewise-linear encoding of one bin, rising from 0 at low to 1 at high; 0 if x is missing. */
static inline float NAME_bin_position(NAME_REAL x, NAME_REAL low, NAME_REAL high)
{
    const NAME_REAL position = (x / 2 - low / 2) / (high / 2 - low / 2);
    return isnan(x) || position < 0 ? 0.0f : position > 1 ? 1.0f : (float)position;
}

/* dates: calendar and clock fields of days since 1970-01-01, the sine and cosine of a periodic field, and the days
   themselves. For months, years begin in March, and 400 years have 146097 days. */
static inline NAME_REAL NAME_months(NAME_REAL days)
{
    const NAME_REAL day = NAME_floor(days) + 719468, era = NAME_floor(day / 146097), of_era = day - era * 146097;
    const NAME_REAL leap = NAME_floor(of_era / 1460) - NAME_floor(of_era / 36524) + NAME_floor(of_era / 146096);
    const NAME_REAL year = NAME_floor((of_era - leap) / 365);
    const NAME_REAL of_year = of_era - (365 * year + NAME_floor(year / 4) - NAME_floor(year / 100));
    return 12 * (era * 400 + year) + NAME_floor((5 * of_year + 2) / 153) + 2 - 12 * 1970;
}

static inline NAME_REAL NAME_year(NAME_REAL days) { return 1970 + NAME_floor(NAME_months(days) / 12); }
static inline NAME_REAL NAME_month(NAME_REAL days) { return NAME_months(days) - 12 * NAME_floor(NAME_months(days) / 12); }
static inline NAME_REAL NAME_weekday(NAME_REAL days) { return NAME_floor(days) + 3 - 7 * NAME_floor((NAME_floor(days) + 3) / 7); }
static inline NAME_REAL NAME_hour(NAME_REAL days) { return 24 * (days - NAME_floor(days)); }

static inline float NAME_sine(NAME_REAL field, NAME_REAL period)
{
    return isnan(field) ? 0.0f : (float)NAME_sin(field * (NAME_R(6.283185307179586) / period));
}
static inline float NAME_cosine(NAME_REAL field, NAME_REAL period)
{
    return isnan(field) ? 0.0f : (float)NAME_cos(field * (NAME_R(6.283185307179586) / period));
}

/* is_index: whether a cell is the index of one of n categories, or -1 or NAN. */
static inline int NAME_is_index(NAME_REAL x, int n)
{
    const NAME_REAL fraction = x > -2 && x < (NAME_REAL)n ? x - (NAME_REAL)(int)x : 1;
    return isnan(x) || (x >= -1 && !(fraction < 0) && !(fraction > 0));
}

/* index: a cell as the index of a category, -1 if it is missing. */
static inline int NAME_index(NAME_REAL x) { return isnan(x) ? -1 : (int)x; }

/* find: the index of a text in a null-terminated list of categories; -1 if it is missing, or not in the list. */
static inline NAME_REAL NAME_find(const char *const *categories, const char *text)
{
    int k, i;
    for (k = 0; text && categories[k]; k++) {
        for (i = 0; categories[k][i] && categories[k][i] == text[i]; i++) {}
        if (categories[k][i] == text[i]) return (NAME_REAL)k;
    }
    return -1;
}

/* in_order: all but the first of each block of n values sorted, by insertion. */
static inline void NAME_in_order(float *x, int width, int n)
{
    int i, j;
    for (i = 0; i < width; i++) {
        const float value = x[i];
        if (i % n < 2) continue;
        for (j = i; j % n > 1 && x[j - 1] > value; j--) x[j] = x[j - 1];
        x[j] = value;
    }
}
