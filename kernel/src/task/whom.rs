//! Whom a question by number is about: a thread, or what is left of a first thread that has ended.
//!
//! A process that has ended keeps its number until it is waited for, and so does a first thread
//! whose process goes on. Until then the calls that ask about, or set, what a thread has of its own
//! work as before.

use super::inspect::may_inspect_one_of;
use super::{Attributes, Process, Task, find, find_process};
use crate::Pid;
use crate::creds::Creds;
use std::sync::Arc;

pub enum Whom {
    Thread(Arc<Task>),
    Ended(Arc<Process>),
}

impl Whom {
    pub fn find(id: Pid) -> Option<Whom> {
        find(id).map(Whom::Thread).or_else(|| find_process(id).map(Whom::Ended))
    }

    /// The threads of a process; of one that has ended, the first.
    pub fn all_of(process: &Arc<Process>) -> Vec<Whom> {
        let threads = process.threads();
        match threads.is_empty() {
            true => vec![Whom::Ended(process.clone())],
            false => threads.into_iter().map(Whom::Thread).collect(),
        }
    }

    pub fn process(&self) -> &Arc<Process> {
        match self {
            Whom::Thread(task) => &task.process,
            Whom::Ended(process) => process,
        }
    }

    pub fn creds(&self) -> Arc<Creds> {
        match self {
            Whom::Thread(task) => task.creds(),
            Whom::Ended(process) => process.identity.borrow().creds.clone(),
        }
    }

    /// As [`super::inspect::may_inspect`].
    pub fn may_be_inspected(&self, by: &Task) -> bool {
        may_inspect_one_of(by, self.process(), &self.creds())
    }

    pub fn attributes(&self) -> Attributes {
        match self {
            Whom::Thread(task) => task.attributes.cloned(),
            Whom::Ended(process) => process.identity.borrow().attributes.clone(),
        }
    }

    pub fn change(&self, change: impl FnOnce(&mut Attributes)) {
        match self {
            Whom::Thread(task) => change(&mut task.attributes.borrow_mut()),
            Whom::Ended(process) => change(&mut process.identity.borrow_mut().attributes),
        }
    }
}
