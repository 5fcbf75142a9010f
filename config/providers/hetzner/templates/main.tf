terraform {
  required_version = ">= 1.6.0"

  backend "http" {}

  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = ">= 1.49.0, < 2.0.0"
    }
  }
}

provider "hcloud" {
  token    = var.token
  endpoint = var.endpoint
}

locals {
  # A server made without one of the project's SSH keys gets a root password that has expired, and an expired password
  # refuses logins by key too.
  user_data = merge(try(yamldecode(var.user_data), {}), { chpasswd = { expire = false } })
}

resource "hcloud_server" "host" {
  name         = var.name
  server_type  = var.server_type
  image        = var.image
  location     = var.location
  user_data    = "#cloud-config\n${yamlencode(local.user_data)}"
  backups      = var.backups
  firewall_ids = var.firewall_ids

  # Hetzner wants both or neither.
  delete_protection        = var.delete_protection
  rebuild_protection       = var.delete_protection
  shutdown_before_deletion = true

  labels = {
    stepmark = var.name
  }

  public_net {
    ipv4_enabled = true
    ipv6_enabled = true
  }

  lifecycle {
    # It is read at the first boot only; a change of it is no reason for another server.
    ignore_changes = [user_data]
  }
}

output "instance_info" {
  description = "The host, as Stepmark reads it."
  value = {
    name       = hcloud_server.host.name
    image      = hcloud_server.host.image
    status     = hcloud_server.host.status
    ip_address = hcloud_server.host.ipv4_address
    ssh_port   = var.ssh_port
  }
}
