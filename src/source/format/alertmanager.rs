//! Alertmanager webhook payloads, version 4: one event for each alert.
