"""The pages that people open in a browser: inbox, request, holds, hosts, search, sign-in."""
