/* The peer of bench/revocation.py: OpenSSL's own way from a DER list to the first answer, then answers.
 * Usage: crl_openssl LIST CA SERIALS   (SERIALS: 64-bit little-endian numbers)
 * Prints one JSON object. Exit status 1: the list does not verify.
 */
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned char *whole(const char *name, long *size) {
    FILE *file = fopen(name, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(2);
    *size = ftell(file);
    rewind(file);
    unsigned char *data = malloc(*size);
    if (data == NULL || fread(data, 1, *size, file) != (size_t)*size) exit(2);
    fclose(file);
    return data;
}

/* Not getrusage's: that one begins with what the parent process had. */
static long peak_kilobytes(void) {
    char line[256];
    long peak = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) exit(2);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %ld", &peak) == 1) break;
    fclose(file);
    return peak;
}

static double now(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec + moment.tv_nsec / 1e9;
}

static int listed(X509_CRL *crl, uint64_t number) {
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    X509_REVOKED *entry = NULL;
    ASN1_INTEGER_set_uint64(serial, number);
    int found = X509_CRL_get0_by_serial(crl, &entry, serial);
    ASN1_INTEGER_free(serial);
    return found == 1;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    long size, ca_size, serials_size;
    unsigned char *ca_data = whole(argv[2], &ca_size);
    uint64_t *serials = (uint64_t *)whole(argv[3], &serials_size);
    const unsigned char *at = ca_data;
    X509 *ca = d2i_X509(NULL, &at, ca_size);
    double begin = now();
    unsigned char *data = whole(argv[1], &size);
    at = data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, size);
    if (crl == NULL || X509_CRL_verify(crl, X509_get0_pubkey(ca)) != 1) return 1;
    free(data);
    if (!listed(crl, serials[0])) return 1; /* the first question sorts */
    double ready = now() - begin;
    long peak = peak_kilobytes();
    double cpu = (double)clock() / CLOCKS_PER_SEC;
    long count = serials_size / 8, hits = 0;
    begin = (double)clock() / CLOCKS_PER_SEC;
    for (long index = 0; index < count; index++) hits += listed(crl, serials[index]);
    double lookup = ((double)clock() / CLOCKS_PER_SEC - begin) / count;
    if (hits != count) return 1;
    printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"rss_mb\": %.1f, \"lookup_us\": %.4f}\n", ready, cpu, peak / 1000.0, lookup * 1e6);
    return 0;
}
