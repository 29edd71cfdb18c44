//! `cancel`: stop a task, wherever it is.

use clap::Args;
use shared::{TaskId, queue::CancelAnswer};

use super::task_id;
use crate::{
    args::Global,
    embedded_redis::Need,
    environment,
    error::CommandError,
    render,
    session::{Log, Session},
};

#[derive(Debug, Args)]
pub struct Cancel {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    #[arg(long)]
    json: bool,
}

impl Cancel {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, Vec::new(), Log::OneShot)?;
        let connection = session.connect(Need::Read)?;
        let answer =
            connection.queue.cancel(&self.id, &format!("cancelled by {}", environment::user())).await;
        connection.close();
        let said = match answer? {
            CancelAnswer::Cancelled => "cancelled",
            CancelAnswer::Requested => "cancelling",
            CancelAnswer::AlreadySettled(record) => {
                let message = format!("task {} has already ended: {}", self.id, record.status.name());
                return Err(CommandError::WrongState(message));
            }
            CancelAnswer::Unknown => return Err(CommandError::NoSuchTask(self.id)),
        };
        if self.json {
            return render::json(&serde_json::json!({ "task_id": self.id, "status": said }));
        }
        match said {
            "cancelling" => render::line(format!("{}: its worker kills it within a beat", self.id)),
            _ => render::line(format!("{}: {said}", self.id)),
        }
    }
}
