"""What an adapter gives away of the text that it was trained on, measured by attacks; an audit proves no protection."""
