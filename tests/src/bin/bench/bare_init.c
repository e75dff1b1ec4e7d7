/* The least that an init can do: it says one line and waits. When somebody types a line, it counts for a minute what an
 * idle kernel does, and says that in the words of the lab's image. It serves benchmarks only. */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* The number behind a word at the beginning of a line; 0 if there is none. */
static unsigned long long number(const char *path, const char *word)
{
	char line[65536];
	unsigned long long value = 0;
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof line, file))
		if (!strncmp(line, word, strlen(word)))
			sscanf(line + strlen(word), "%llu", &value);
	if (file)
		fclose(file);
	return value;
}

int main(void)
{
	static const char hello[] = "bench: init\n";
	char typed[80];

	if (write(1, hello, sizeof hello - 1) < 0)
		return 1;
	while (read(0, typed, sizeof typed) > 0) {
		mount("proc", "/proc", "proc", 0, NULL);
		unsigned long long switches = number("/proc/stat", "ctxt ");
		unsigned long long interrupts = number("/proc/stat", "intr ");
		sleep(60);
		switches = number("/proc/stat", "ctxt ") - switches;
		interrupts = number("/proc/stat", "intr ") - interrupts;
		unsigned long long total = number("/proc/meminfo", "MemTotal:");
		unsigned long long available = number("/proc/meminfo", "MemAvailable:");
		printf("bench: idle: %llu of %llu KiB in use, %llu context switches and %llu interrupts in a minute\n",
		       total - available, total, switches, interrupts);
		fflush(stdout);
	}
	for (;;)
		pause();
}
