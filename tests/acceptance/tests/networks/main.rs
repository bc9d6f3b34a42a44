//! What the driver makes of each kind of network and of its options, in virtual time.

mod addresses;
mod fixtures;
mod options;
mod projects;
mod vpcs;
