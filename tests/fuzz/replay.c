/*
 * Runs a fuzz target over its corpus as an ordinary test: each file of the folders that are named,
 * and no input at all. A folder that is not there is an empty corpus.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 1;
	}
	/* exactly as large as the input, so that a sanitizer sees a read past its end */
	uint8_t *data = NULL;
	size_t size = 0;
	char chunk[65536];
	size_t n;
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
		uint8_t *grown = realloc(data, size + n);
		if (!grown)
			break;
		data = grown;
		memcpy(data + size, chunk, n);
		size += n;
	}
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

static int replay_folder(const char *path, DIR *folder, size_t *count)
{
	int failed = 0;
	struct dirent *entry;
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		char name[4096];
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		failed |= replay_file(name);
		(*count)++;
	}
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;
	size_t count = 0;
	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);
		if (folder) {
			failed |= replay_folder(argv[i], folder, &count);
			closedir(folder);
		}
	}
	LLVMFuzzerTestOneInput(NULL, 0);
	printf("%zu inputs replayed\n", count);
	return failed;
}
