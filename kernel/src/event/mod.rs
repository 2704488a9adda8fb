//! Files that tell of events: epoll, eventfd, signalfd, timerfd, inotify.

pub mod epoll;
pub mod eventfd;
pub mod inotify;
pub mod signalfd;
pub mod timerfd;
