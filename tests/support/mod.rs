//! The real parts that tests stand on: a broker, storages, network namespaces, traffic, the worker.
//!
//! Each part is one file, starts a real program, and ends it by its id when it is dropped. Parts run
//! in a [`Place`](place::Place): on the host's loopback, or inside a network namespace.
//! They must not know what a test is about; `storage_cases` alone does, because two tests are about the
//! same.

pub(crate) mod alerting;
pub(crate) mod azurite;
pub(crate) mod broker;
pub(crate) mod capture_file;
pub(crate) mod captures;
pub(crate) mod disk;
pub(crate) mod engine;
pub(crate) mod faulty_proxy;
pub(crate) mod five_tuple;
pub(crate) mod http;
pub(crate) mod mail_server;
pub(crate) mod namespaces;
pub(crate) mod object_server;
pub(crate) mod openapi;
pub(crate) mod place;
pub(crate) mod process;
pub(crate) mod publisher;
pub(crate) mod rule_defaults;
pub(crate) mod s3;
pub(crate) mod storage_cases;
pub(crate) mod traffic;
pub(crate) mod tshark;
pub(crate) mod wait;
pub(crate) mod webdav;
pub(crate) mod witness;
pub(crate) mod worker;
