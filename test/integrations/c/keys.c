/* Prints for each line of input what sgw_key_parse says of it: c.test.ts. */
#include <stdio.h>
#include <string.h>

#include "session_gateway.h"

int main(void)
{
	static char line[4096];
	struct sgw_key *key;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		printf("%d\n", sgw_key_parse(&key, line));
		sgw_key_free(key);
	}
	return 0;
}
