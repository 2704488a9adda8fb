//! Kernel contexts: stacks that CPUs' threads run on, and the switch between them.

use crate::count;
use std::any::Any;
use std::sync::Arc;
use umlab_host::Result;
use umlab_host::context::{SavedContext, Stack};
use umlab_model::lock::KCell;
use umlab_model::{Context, ContextMain};

/// A kernel stack and where it left off.
pub(crate) struct ThreadContext {
    saved: SavedContext,
    /// None for the thread's own.
    stack: Option<Stack>,
    start: KCell<Option<ContextMain>>,
}

/// Stacks of ended contexts, kept for the next ones.
static STACKS: KCell<Vec<Stack>> = KCell::new(Vec::new());
const STACKS_KEPT: usize = 32;

impl ThreadContext {
    /// The context of a CPU's thread itself.
    pub fn of_thread() -> Arc<dyn Context> {
        Arc::new(ThreadContext { saved: SavedContext::default(), stack: None, start: KCell::new(None) })
    }

    pub fn with_main(main: ContextMain) -> Result<Arc<dyn Context>> {
        let kept = STACKS.borrow_mut().pop();
        let stack = match kept {
            Some(stack) => stack,
            None => Stack::new()?,
        };
        let context = Arc::new(ThreadContext {
            saved: SavedContext::default(),
            stack: Some(stack),
            start: KCell::new(Some(main)),
        });
        let stack = context.stack.as_ref().expect("it was just given one");
        context.saved.prepare(stack, context_main, Arc::as_ptr(&context) as usize);
        Ok(context)
    }
}

impl Drop for ThreadContext {
    fn drop(&mut self) {
        if let Some(stack) = self.stack.take() {
            let mut stacks = STACKS.borrow_mut();
            if stacks.len() < STACKS_KEPT {
                stacks.push(stack);
            }
        }
    }
}

impl Context for ThreadContext {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn own(context: &dyn Context) -> &ThreadContext {
    context.as_any().downcast_ref().expect("the kernel passes contexts of this machine")
}

pub(crate) fn switch(from: &dyn Context, to: &dyn Context) {
    count(|c| &c.context_switches, 1);
    // SAFETY: the scheduler passes the running context and one that was prepared or left by a
    // switch; it holds the big lock, and its task keeps `to` alive while it runs.
    unsafe { own(from).saved.switch(&own(to).saved) };
}

extern "C" fn context_main(argument: usize) -> ! {
    // SAFETY: the scheduler keeps the context alive while it runs, and drops it from another one
    // after the final switch.
    let context = unsafe { &*(argument as *const ThreadContext) };
    let main = context.start.replace(None).expect("a context starts once");
    let next = main();
    // The reference must not be left on a stack that is never unwound: whoever is switched to is
    // held by its task or its CPU.
    let to: *const ThreadContext = own(&*next);
    drop(next);
    // SAFETY: as above.
    unsafe { context.saved.switch(&(*to).saved) };
    unreachable!("an ended context was switched to");
}
