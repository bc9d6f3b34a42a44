//! The simulated cloud's API, as a client sees it: a module for each family of commands, and for what holds for all of them.

mod accounts;
mod addresses;
mod affinity_groups;
mod client;
mod configuration;
mod cs_client;
mod deployment;
mod hypervisor;
mod jobs;
mod key_pairs;
mod machines;
mod projects;
mod protocol;
mod rules;
mod tags;
mod vpcs;
