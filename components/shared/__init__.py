"""What more than one stage needs; importing it pulls in neither torch nor kfp nor selenium."""
