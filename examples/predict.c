/* Classify an image with an exported network, from C, through MXNet's predict API.
 *
 *   a2net export NAME --params FILE --pixels --output PREFIX
 *   MXNET=$(python -c "import a2net_gluon, mxnet; print(mxnet.__path__[0])")
 *   gcc examples/predict.c -o predict -I$MXNET/include -L$MXNET -lmxnet -lm -Wl,-rpath,$MXNET
 *   ./predict PREFIX 224 crop.rgb
 *
 * crop.rgb holds 224×224 pixels of three bytes, red, green and blue, from the top left. Prints the number and the
 * probability of every class, a line each; PREFIX.json has their names.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <mxnet/c_predict_api.h> /* it needs bool and uint32_t, and includes neither */

static void fail(const char *what, const char *reason) {
    fprintf(stderr, "predict: %s: %s\n", what, reason);
    exit(1);
}

static void check(int code) {
    if (code) fail("MXNet", MXGetLastError());
}

/* Return the content of the file PREFIX followed by `ending`, with a zero behind it, and its length. */
static char *read_file(const char *prefix, const char *ending, size_t *length) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s", prefix, ending);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path, "cannot be read");
    *length = ftell(file);
    rewind(file);
    char *content = calloc(*length + 1, 1);
    if (!content || fread(content, 1, *length, file) != *length) fail(path, "cannot be read");
    fclose(file);
    return content;
}

int main(int count, char **words) {
    if (count != 4) fail("usage", "predict PREFIX SIZE PIXELS");
    uint32_t size = atoi(words[2]), values = size * size * 3;
    size_t symbol_length, params_length, pixels_length;
    char *symbol = read_file(words[1], "-symbol.json", &symbol_length);
    char *params = read_file(words[1], "-0000.params", &params_length);
    unsigned char *pixels = (unsigned char *)read_file(words[3], "", &pixels_length);
    if (pixels_length != values) fail(words[3], "it has not SIZE x SIZE pixels of three bytes");

    const char *inputs[] = {"data"};
    const uint32_t bounds[] = {0, 4}, shape[] = {1, size, size, 3}; /* one image; channels last, as `--pixels` says */
    PredictorHandle network;
    const int cpu = 1;
    check(MXPredCreate(symbol, params, params_length, cpu, 0, 1, inputs, bounds, shape, &network));

    float *data = malloc(values * sizeof *data);
    for (uint32_t i = 0; i < values; i++) data[i] = pixels[i];
    check(MXPredSetInput(network, "data", data, values));
    check(MXPredForward(network));

    uint32_t *output_shape, dimensions;
    check(MXPredGetOutputShape(network, 0, &output_shape, &dimensions));
    uint32_t classes = output_shape[1];
    float *logits = malloc(classes * sizeof *logits), largest = -INFINITY, sum = 0;
    check(MXPredGetOutput(network, 0, logits, classes));
    for (uint32_t i = 0; i < classes; i++) largest = fmaxf(largest, logits[i]);
    for (uint32_t i = 0; i < classes; i++) sum += expf(logits[i] - largest);
    for (uint32_t i = 0; i < classes; i++) printf("%u %.9g\n", i, expf(logits[i] - largest) / sum);
    return MXPredFree(network);
}
