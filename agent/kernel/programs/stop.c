// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Mode `stop`: raw tracepoints and bpf_send_signal. The process stops before it returns to user space.

#include "records.h"
#include "maps.h"
#include "tasks.h"
#include "subjects.h"
#include "quarantine.h"
#include "match.h"
#include "paths.h"
#include "guard.h"
#include "holds.h"
#include "exec.h"
#include "files.h"
#include "open.h"
#include "sockets.h"
#include "network.h"
#include "calls.h"
#include "selfcheck.h"
