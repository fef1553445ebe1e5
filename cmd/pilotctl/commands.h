// Commands of pilotctl. Each gets argv from its own name on and returns the exit status: 0, 1 failed, 2 wrong usage.
#ifndef CMD_PILOTCTL_COMMANDS_H
#define CMD_PILOTCTL_COMMANDS_H

int command_bootstrap(int argc, char **argv);
int command_get(int argc, char **argv);

#endif
