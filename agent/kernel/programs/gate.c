// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Mode `gate`: programs on the kernel's security functions, as BPF LSM or as fmod_ret, which answer
// before anything has happened. Beside them the raw tracepoints of labels and exec.

#define TRACERS_ARE_TRUSTED 1
#define GOES_WITH_STOPS 1
#define NOTES_SCRIPTS 1
#define HEARS_THE_HEARTBEAT 1

#include "records.h"
#include "maps.h"
#include "tasks.h"
#include "subjects.h"
#include "quarantine.h"
#include "match.h"
#include "paths.h"
#include "guard.h"
#include "holds.h"
#include "alone.h"
#include "exec.h"
#include "files.h"
#include "sockets.h"
#include "grants.h"
#include "repeats.h"
#include "gate.h"
#include "gate_open.h"
#include "gate_change.h"
#include "gate_mount.h"
#include "gate_network.h"
#include "gate_process.h"
#include "gate_kernel.h"
#include "gate_exec.h"
#include "selfcheck.h"
