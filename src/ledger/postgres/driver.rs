//! The one thread that drives all connections to PostgreSQL. Whoever waits for an answer without giving way (the plan, a
//! page, a status) waits here, and beats on other connections go on meanwhile.

use std::future::{Future, pending};
use std::io;
use std::sync::{Arc, LazyLock, mpsc};
use std::thread::{self, ThreadId};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

use super::PostgresError;

/// The thread, and how to give it work.
#[derive(Clone, Debug)]
pub struct Driver {
    runtime: Handle,
    thread: ThreadId,
}

impl Driver {
    /// The thread of this process; it begins with the first call, and ends with the process.
    ///
    /// # Errors
    /// The system refuses a thread or what it needs.
    pub fn get() -> Result<&'static Driver, PostgresError> {
        static DRIVER: LazyLock<Result<Driver, Arc<io::Error>>> = LazyLock::new(|| Driver::start().map_err(Arc::new));
        DRIVER.as_ref().map_err(|source| PostgresError::Driver { source: Arc::clone(source) })
    }

    fn start() -> io::Result<Driver> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new().name("postgres".to_owned()).spawn(move || {
            runtime.block_on(pending::<()>());
        })?;
        Ok(Driver { runtime: handle, thread: thread.thread().id() })
    }

    /// Has the thread drive a future, which should never block.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// Has the thread drive a future, and waits for what becomes of it. Dropped, the future goes on.
    ///
    /// # Errors
    /// The future panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, PostgresError> {
        self.spawn(future).await.map_err(|error| stopped(&error))
    }

    /// Has the thread drive a future, and blocks until it is done: for callers that cannot await, inside a runtime or not.
    ///
    /// # Errors
    /// The future panicked, or the caller is the thread itself, which would wait forever.
    pub fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, PostgresError> {
        if thread::current().id() == self.thread {
            return Err(stopped(&"deadlock"));
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.spawn(async move {
            let _ = sender.send(future.await);
        });
        receiver.recv().map_err(|error| stopped(&error))
    }
}

fn stopped(why: &dyn std::fmt::Display) -> PostgresError {
    PostgresError::Driver { source: Arc::new(io::Error::other(why.to_string())) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_can_be_waited_for_from_anywhere_but_its_own_thread() {
        let driver = Driver::get().unwrap();
        assert_eq!(driver.wait(async { 1 }).unwrap(), 1);
        let runtime = Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(async { driver.wait(async { 2 }) }).unwrap(), 2);
        assert_eq!(runtime.block_on(driver.run(async { 3 })).unwrap(), 3);
        // Its clock is driven too.
        driver.wait(async { tokio::time::sleep(Duration::from_millis(1)).await }).unwrap();
        let inside = driver.wait(async { Driver::get().unwrap().wait(async {}).is_err() });
        assert!(inside.unwrap(), "it would have waited forever");
        // What panics there is gone, and the thread is not.
        assert!(driver.wait(async { panic!("on purpose") }).is_err());
        assert_eq!(driver.wait(async { 4 }).unwrap(), 4);
    }
}
