"""The process: settings, HTTP, the loop, and all that touches kopf."""
