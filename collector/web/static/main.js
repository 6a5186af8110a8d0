// Starts what each page needs. Without any of it, every page works by links and forms.

import { startClock } from "./clock.js";
import { startForms } from "./forms.js";
import { startInbox } from "./inbox.js";
import { startKeys } from "./keys.js";
import { startRequest } from "./request.js";

startClock();
startForms();
startKeys();
if (document.body.dataset.page === "inbox") startInbox();
if (document.body.dataset.page === "request") startRequest();
