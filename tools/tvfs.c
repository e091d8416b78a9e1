/* The program. Everything is in tools/cli.c and the commands. */
#include "tools/cli.h"

int main(int argc, char **argv)
{
	return tv_cli_main(argc, argv);
}
